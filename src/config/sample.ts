import { Document } from "yaml";

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
  sample.commentBefore =
    " Sample Teleport configuration file.\n Every setting shown is optional; what is left out has its default.\n Put it at /etc/teleport.yaml, or name it with --config.";
  const certificates = [
    "  # The proxy makes itself a self-signed certificate unless it is given one:",
    `  # https_key_file: ${dataDir}/webproxy_key.pem`,
    `  # https_cert_file: ${dataDir}/webproxy_cert.pem`,
  ];
  return `${sample.toString({ directives: false }).trimEnd()}\n${certificates.join("\n")}\n`;
}
