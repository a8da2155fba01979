const none = "**No effect yet.**";

/** What each key of the configuration file does, for docs/config.md. */
export const configKeys: Readonly<Record<string, string>> = {
  "teleport.nodename": "Name of this host for users and in its certificates. Left out: its host name.",
  "teleport.data_dir":
    "Folder of everything this host keeps. Left out: `/var/lib/teleport` as root, `~/.local/state/teleport` as another user.",
  "teleport.pid_file": "File to write the process id to.",
  "teleport.auth_token": "Invite token by which this host joins the cluster at its first start.",
  "teleport.ca_pin":
    "What `tctl status` prints as CA pin: the auth service is verified by it at the first start.",
  "teleport.auth_servers": "Where the auth service is. Left out: on this host.",
  "teleport.advertise_ip":
    "Address under which others reach the services of this host. Left out: where it listens, or its first address that is not loopback. A port in it is the node's, or the auth service's where no node runs.",
  "teleport.connection_limits.max_connections":
    "Connections that each listener (SSH, web port, auth API) holds at a time for one source address.",
  "teleport.connection_limits.max_users":
    "Different users that a node serves at a time, and that an SSH proxy does; each may have several connections.",
  "teleport.connection_limits.rates":
    "How often one source may come, every entry counting for itself: SSH connections to the proxy and to the node (those that a proxy brings are not counted again), HTTP requests to the web port (429 beyond), and calls of the auth API by users and strangers; members of the cluster are not counted there.",
  "teleport.connection_limits.rates[].period": "The span of time that `average` is meant for.",
  "teleport.connection_limits.rates[].average": "So many in each period.",
  "teleport.connection_limits.rates[].burst": "So many at once, by whoever was quiet before.",
  "teleport.connection_limits.max_unauthenticated":
    "Connections of an SSH listener that have not logged in, as sshd's `MaxStartups`: from the first number on, the second percent of new ones are refused, rising to all of them at the third.",
  "teleport.connection_limits.max_unauthenticated_per_source":
    "Connections of one source that have not logged in; more are refused.",
  "teleport.connection_limits.source_netblock":
    "Leading bits of an IPv4 and of an IPv6 address that make one source.",
  "teleport.connection_limits.login_grace": "Time in which an SSH client must have logged in.",
  "teleport.connection_limits.max_auth_tries":
    "Refused attempts to log in on one connection, of every method; the first question for the methods is free.",
  "teleport.connection_limits.max_channels": "Channels that a client may have open on one connection.",
  "teleport.connection_limits.max_sessions":
    "Sessions (shells, commands, file transfers) that a client may have open on one connection to a node.",
  "teleport.connection_limits.max_buffered":
    "Bytes of all channels of a connection that may wait for whoever reads them. A channel whose line is long takes up to 16 MiB of it as far as others need it not. Channels get smaller windows as it runs short, and are refused when it has run out.",
  "teleport.connection_limits.max_requests":
    "Requests on a connection and its channels that may wait for an answer; more end the connection.",
  "teleport.connection_limits.penalties.enabled":
    "Whether sources whose connections fail to log in are blocked for a while, as by sshd's `PerSourcePenalties`. Each failure adds a time to the source's debt, which shrinks as time goes by. The times are mild, for many users may share a source: about one bad login a second goes on for ever.",
  "teleport.connection_limits.penalties.refused":
    "Added by a login that was refused; a login that succeeds takes off as much.",
  "teleport.connection_limits.penalties.late": "Added when `login_grace` runs out.",
  "teleport.connection_limits.penalties.broken": "Added by a client that breaks the protocol.",
  "teleport.connection_limits.penalties.left":
    "Added by a client that began to speak SSH and left without trying to log in. One that only connects and hangs up, as load balancers do, costs nothing.",
  "teleport.connection_limits.penalties.block_from":
    "A source whose debt reaches this is refused until its debt is over.",
  "teleport.connection_limits.penalties.block_at_most": "No debt grows beyond this.",
  "teleport.connection_limits.penalties.max_sources": "Sources that are remembered.",
  "teleport.connection_limits.penalties.exempt":
    "Addresses and ranges without penalties, such as those of jump hosts. For a node, the proxies of its cluster are exempt too. The limits by number hold for them all the same.",
  "teleport.log.output":
    "Where the log of the daemon goes. A file that was moved away is begun anew within a second. `syslog` needs logger(1) of util-linux and `/dev/log`; without them the lines go to standard error, with one that says so, and it is tried again every minute.",
  "teleport.log.severity": "What is logged at least.",
  "teleport.log.format":
    "`text`: lines for people, with what others sent escaped; `json`: an object a line with `time`, `level`, `component`, `message` and the event's own fields. Goes past the admin guide.",
  "teleport.storage.type":
    "How the auth service stores the cluster's state: both names mean a SQLite database.",
  "teleport.storage.path": "Folder of the database. Left out: `<data_dir>/backend`.",
  "teleport.storage.audit_events_uri":
    "Where audit events go, to each of them: `file:///folder` or `stdout://`. Left out: `<data_dir>/log`. `dynamodb://` is refused at start in this version.",
  "teleport.storage.audit_sessions_uri":
    "Where recordings go: `file:///folder`. Left out: `<data_dir>/log/sessions`. `s3://` is refused at start in this version.",
  "teleport.storage.region": none,
  "teleport.storage.audit_table_name": "Older name of an `audit_events_uri` of `dynamodb://TABLE`.",
  "teleport.cache.enabled":
    "Whether nodes and proxies keep their copy of the cluster's state on disk too, under `<data_dir>/cache`, so that they can start while the auth service is away.",
  "teleport.cache.ttl":
    "How long the copy of the cluster's state, in memory and on disk, is used after the auth service was last heard.",
  "teleport.ciphers": "SSH ciphers of the node and the proxy, best first.",
  "teleport.kex_algos": "SSH key exchanges, best first.",
  "teleport.mac_algos": "SSH MACs, best first.",
  "teleport.ciphersuites":
    "Suites of TLS 1.2 that the auth API and the web port take. Those of TLS 1.3 are always taken besides. `ecdsa` ones need the certificates that are made here by default, `rsa` ones RSA keys (`key_type: rsa`, or an HTTPS certificate of your own).",
  "teleport.key_type":
    "Makes RSA keys with SHA-2 signatures instead of Ed25519, for places that need them. Counts when an authority is made.",

  "auth_service.enabled": "Whether this host runs the auth service.",
  "auth_service.cluster_name": "Name of the cluster, fixed at its first start. Left out: a UUID.",
  "auth_service.listen_addr": "Where the auth API listens.",
  "auth_service.public_addr":
    "Names and addresses of the auth service for its certificate; the first is announced to the other hosts, and `tctl nodes add` prints it.",
  "auth_service.tokens":
    "Static invite tokens, written `node,proxy:TOKEN`. They never expire: prefer `tctl nodes add`.",
  "auth_service.authentication.type":
    "The default way to log in ([sso.md](sso.md)); others go on beside it. `saml` is refused at start.",
  "auth_service.authentication.second_factor":
    "`otp`: password and a six-digit code; `off`: password alone. `webauthn` (or `u2f`, which means the same): password and a security key ([security-keys.md](security-keys.md)).",
  "auth_service.authentication.connector_name":
    "Which connector of that type is the default. Left out: the first by name.",
  "auth_service.authentication.u2f.app_id":
    "Needed with `webauthn`: the address of the proxy's pages, whose host security keys are bound to. It must never change.",
  "auth_service.authentication.u2f.facets":
    "Further addresses of the pages, under the same host. Those of `proxy_service.public_addr` need not be named.",
  "auth_service.authentication.local_auth":
    "`no` refuses every login by password, every invitation and every reset.",
  "auth_service.session_recording":
    "`node`: nodes record; `off`: nobody records but for roles that demand it (`record_session: required`), events are kept. `proxy` is refused at start in this version.",
  "auth_service.proxy_checks_host_keys": `${none} It belongs to recording at the proxy.`,
  "auth_service.client_idle_timeout":
    "Closes connections to nodes on which the client sent nothing for so long.",
  "auth_service.disconnect_expired_cert": "Closes connections to nodes when the user's certificate runs out.",
  "auth_service.keep_alive_interval":
    "How often the node and the proxy ask a client whether it is still there.",
  "auth_service.keep_alive_count_max": "Unanswered questions after which a client counts as gone.",
  "auth_service.license_file":
    "No license is needed for anything. A good one, named here or `license.pem` in the data folder, is shown by `tctl status`. A path that is relative is one in the data folder. One that is named here and is missing, broken or over gets a warning at start.",
  "auth_service.proxy_protocol": "As `proxy_service.proxy_protocol`, for the auth API's port.",
  "auth_service.exec_recording_limit":
    "How much output of a command without a terminal is recorded; of the rest the event holds size and SHA-256.",
  "auth_service.audit_events_uri": "The same as `teleport.storage.audit_events_uri`.",
  "auth_service.audit_sessions_uri": "The same as `teleport.storage.audit_sessions_uri`.",
  "auth_service.trusted_clusters":
    "Clusters whose people this one lets in ([trusted-clusters.md](trusted-clusters.md#in-the-file)): at every start of the auth service each entry is linked, or `enabled` of its link set as the entry has it. One that fails is tried again, and nothing waits for it. Taking an entry out removes nothing.",
  "auth_service.trusted_clusters[].name":
    "What the other cluster calls itself. Another name is put right, with a warning.",
  "auth_service.trusted_clusters[].enabled": "`no`: the link is kept, and nobody comes in by it.",
  "auth_service.trusted_clusters[].token":
    "What `tctl tokens add --type=trusted_cluster` printed there, or the path of a file with it; used once.",
  "auth_service.trusted_clusters[].tunnel_addr":
    "`host:port` of its reverse tunnels. Left out: `web_proxy_addr` serves for both.",
  "auth_service.trusted_clusters[].web_proxy_addr": "`host:port` of its web proxy.",
  "auth_service.trusted_clusters[].role_map":
    "Roles there and what they are here. Left out: `admin` there is `admin` here, and nobody else comes in.",
  "auth_service.trusted_clusters[].role_map[].remote":
    "A role there, `*` for all, a pattern with `*`, or `^regex$`.",
  "auth_service.trusted_clusters[].role_map[].local": "Roles here; with `^regex$` they may have `$1`.",
  "auth_service.trusted_clusters[].roles":
    "The older form of `role_map`, not beside it: roles here of everybody from there.",
  "auth_service.authorities":
    "Of older files: authorities of other clusters by their SSH keys ([trusted-clusters.md](trusted-clusters.md#authorities-of-older-files)). They only add to what is there.",
  "auth_service.authorities[].type": "`host` or `user`.",
  "auth_service.authorities[].domain_name":
    "Name of the cluster. This one's own entries are ignored, with a warning.",
  "auth_service.authorities[].checking_keys":
    "Public keys, a line each, as `tctl auth export` or `ssh-keygen` prints them.",
  "auth_service.authorities[].checking_key_files": "Files of such lines.",
  "auth_service.authorities[].signing_keys": "An authority with private keys is ignored, with a warning.",
  "auth_service.authorities[].signing_key_files": "The same.",
  "auth_service.authorities[].allowed_logins": "Ignored, with a warning: roles decide.",
  "auth_service.reverse_tunnels":
    "Of older files: clusters among `authorities`, with both types, that are to be trusted clusters.",
  "auth_service.reverse_tunnels[].domain_name": "Name of the cluster.",
  "auth_service.reverse_tunnels[].addresses": "`host:port` of its reverse tunnels. The first is used.",
  "auth_service.reverse_tunnels[].dial_addrs": "The same by another name.",

  "ssh_service.enabled": "Whether this host runs the SSH node.",
  "ssh_service.listen_addr": "Where the node listens.",
  "ssh_service.public_addr": "Names and addresses of the node for its certificate; the first is announced.",
  "ssh_service.labels": "Labels of this node, by which roles and `tsh ls` choose: `env: prod`.",
  "ssh_service.commands": "Labels whose value a command prints ([labels.md](labels.md)).",
  "ssh_service.commands[].name": "The label. It hides one of the same name under `labels`.",
  "ssh_service.commands[].command":
    "The program and its arguments, run without a shell as the user of the daemon: `[/bin/uname, -m]`.",
  "ssh_service.commands[].period": "How often it is run; less than `1m` is raised to that, with a warning.",
  "ssh_service.permit_user_env": "Reads `~/.tsh/environment` of the login into its sessions.",
  "ssh_service.pam.enabled": "`yes` is refused at start in this version.",
  "ssh_service.pam.service_name": none,
  "ssh_service.accept_env": "Variables that a client may send, `*` and `?` as in sshd's `AcceptEnv`.",

  "proxy_service.enabled": "Whether this host runs the proxy.",
  "proxy_service.listen_addr": "Where the SSH proxy listens.",
  "proxy_service.tunnel_listen_addr":
    "Where [clusters that trust this one](trusted-clusters.md) call. The same as `web_listen_addr`: one port serves both. Nodes behind a tunnel are not offered.",
  "proxy_service.web_listen_addr": "Where the HTTPS port for browsers and `tsh login` listens.",
  "proxy_service.public_addr": "The proxy's address for people; the first stands in invitation links.",
  "proxy_service.ssh_public_addr": "The SSH proxy's address for people.",
  "proxy_service.tunnel_public_addr": "What `/webapi/ping` says of where tunnels are taken.",
  "proxy_service.https_key_file":
    "Key of the HTTPS certificate, PEM. Left out: self-signed, made at the first start.",
  "proxy_service.https_cert_file": "The HTTPS certificate with its chain, PEM.",
  "proxy_service.proxy_protocol":
    "Whether a load balancer may tell by a line of the PROXY protocol (version 1) whose connection it brings, at the SSH and the web port: see [below](#behind-a-load-balancer).",
  "proxy_service.kubernetes.enabled": none,
  "proxy_service.kubernetes.listen_addr": none,
  "proxy_service.kubernetes.public_addr": none,
  "proxy_service.kubernetes.kubeconfig_file": none,
  "proxy_service.openssh_targets":
    "Hosts that are no nodes of the cluster and may be dialled for its users all the same: name, address, CIDR block or `*`, each with a port or `:*`. Goes past the admin guide.",
  "proxy_service.processes":
    "How many processes serve this proxy's ports, each a proxy of its own with its own host id. Goes past the admin guide.",
};
