import { text, uint32 } from "../wire/codec.ts";
import { structure } from "../wire/structure.ts";

/** RFC 4254 §7.2: where a `direct-tcpip` channel is to go, and from where the client was asked for it. */
export const DirectTcpip = structure("direct-tcpip", {
  host: text,
  port: uint32,
  originatorHost: text,
  originatorPort: uint32,
});
/** RFC 4254 §7.2: `host` and `port` are as the `tcpip-forward` request had them; a port of 0 has become the real one. */
export const ForwardedTcpip = structure("forwarded-tcpip", {
  host: text,
  port: uint32,
  originatorHost: text,
  originatorPort: uint32,
});
/** RFC 4254 §7.1, of `tcpip-forward` and `cancel-tcpip-forward`. Port 0 asks for any. */
export const TcpipForward = structure("tcpip-forward", { host: text, port: uint32 });
/** RFC 4254 §7.1: the answer when port 0 was asked for. */
export const TcpipForwardReply = structure("tcpip-forward reply", { port: uint32 });

/** OpenSSH PROTOCOL §2.4. The reserved fields are empty and 0. */
export const DirectStreamlocal = structure("direct-streamlocal@openssh.com", {
  path: text,
  reservedText: text,
  reservedNumber: uint32,
});
export const ForwardedStreamlocal = structure("forwarded-streamlocal@openssh.com", {
  path: text,
  reservedText: text,
});
/** Of `streamlocal-forward@openssh.com` and `cancel-streamlocal-forward@openssh.com`. */
export const StreamlocalForward = structure("streamlocal-forward@openssh.com", { path: text });
