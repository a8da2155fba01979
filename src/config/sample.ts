import { Document, type Node, type Scalar, type YAMLMap } from "yaml";

/** What stands above a key. */
const comments: Readonly<Record<string, string>> = {
  "teleport.nodename": " Name of this host for users; its host name when left out.",
  "teleport.data_dir": " Everything that this host keeps. Closed to other users.",
  "teleport.auth_token": " Token by which this host joins at its first start, or the path of a file with it.",
  "teleport.auth_servers": " Where the auth service is: on a host that runs none, its address there.",
  "teleport.log": " stderr, stdout, syslog or a file; debug, info, warn or error; text or json.",
  "teleport.ca_pin":
    " What `tctl status` prints as CA pin: the auth service is verified by it when this host joins.",
  auth_service: " The certificate authority: one host of a cluster has it.",
  "auth_service.tokens":
    " These never expire. `tctl nodes add` makes tokens that do. Choose another before others reach this host.",
  ssh_service: " The SSH node: people log in to this host.",
  "ssh_service.labels": " Roles and `tsh ls` choose nodes by labels.",
  "ssh_service.commands": " Labels whose value a program prints, run again every period of a minute or more.",
  proxy_service: " The proxy: the door for people and their browsers.",
};

/** The sample configuration of `teleport configure` (CFG-130), which loads as it stands. */
export function sampleConfig({
  nodename,
  dataDir,
  pidFile,
}: {
  readonly nodename: string;
  readonly dataDir: string;
  readonly pidFile: string;
}): string {
  const sample = new Document(
    {
      teleport: {
        nodename,
        data_dir: dataDir,
        pid_file: pidFile,
        auth_token: "cluster-join-token",
        auth_servers: ["0.0.0.0:3025"],
        connection_limits: { max_connections: 15000, max_users: 250 },
        log: { output: "stderr", severity: "INFO" },
        ca_pin: "",
      },
      auth_service: {
        enabled: "yes",
        listen_addr: "0.0.0.0:3025",
        tokens: ["proxy,node:cluster-join-token"],
      },
      ssh_service: {
        enabled: "yes",
        labels: { db_role: "master", db_type: "postgres" },
        commands: [
          { name: "hostname", command: ["/bin/hostname"], period: "1m0s" },
          { name: "arch", command: ["/bin/uname", "-p"], period: "1h0m0s" },
        ],
      },
      proxy_service: {
        enabled: "yes",
        listen_addr: "0.0.0.0:3023",
        tunnel_listen_addr: "0.0.0.0:3024",
        web_listen_addr: "0.0.0.0:3080",
      },
    },
    { version: "1.1" },
  );
  for (const { key, value } of (sample.contents as YAMLMap<Scalar, YAMLMap<Scalar, Node>>).items) {
    const about = comments[String(key.value)];
    if (about) Object.assign(key, { commentBefore: about, spaceBefore: true });
    for (const { key: inner } of value?.items ?? []) {
      const said = comments[`${key.value}.${inner.value}`];
      if (said) inner.commentBefore = said;
    }
  }
  sample.commentBefore =
    " Sample Teleport configuration file.\n Every setting shown is optional; what is left out has its default.\n Put it at /etc/teleport.yaml, or name it with --config.";
  const certificates = [
    "  # The proxy makes itself a self-signed certificate unless it is given one:",
    `  # https_key_file: ${dataDir}/webproxy_key.pem`,
    `  # https_cert_file: ${dataDir}/webproxy_cert.pem`,
  ];
  return `${sample.toString({ directives: false }).trimEnd()}\n${certificates.join("\n")}\n`;
}
