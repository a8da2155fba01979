/** A name that the certificates of all proxies have, SSH and TLS, and of nobody else: for who knows a proxy by no other. */
export const anyProxy = "remote.kube.proxy.teleport.cluster.local";
