import { boolean, bytes, type Field, message, Reader, rest, text, uint32 } from "./codec.ts";
import { structure } from "./structure.ts";

/** The agent protocol (draft-ietf-sshm-ssh-agent). Messages travel behind a uint32 with their length. */

/** A label for people, whatever its bytes: a comment that is not UTF-8 must not hide the keys beside it. */
export const comment: Field<string> = {
  read: (r) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.read(r)),
  write: (w, v) => text.write(w, v),
};

export interface ListedKey {
  readonly key: Uint8Array;
  readonly comment: string;
}

/** A count, then as many pairs. The count is not believed further than the bytes go. */
const listedKeys: Field<ListedKey[]> = {
  read(r) {
    const count = uint32.read(r);
    const out: ListedKey[] = [];
    while (out.length < count) out.push({ key: bytes.read(r), comment: comment.read(r) });
    return out;
  },
  write(w, v) {
    uint32.write(w, v.length);
    for (const listed of v) {
      bytes.write(w, listed.key);
      comment.write(w, listed.comment);
    }
  },
};

export const AgentFailure = message(5, "SSH_AGENT_FAILURE", {});
export const AgentSuccess = message(6, "SSH_AGENT_SUCCESS", {});
export const RequestIdentities = message(11, "SSH_AGENTC_REQUEST_IDENTITIES", {});
export const IdentitiesAnswer = message(12, "SSH_AGENT_IDENTITIES_ANSWER", { keys: listedKeys });
export const SignRequest = message(13, "SSH_AGENTC_SIGN_REQUEST", { key: bytes, data: bytes, flags: uint32 });
export const SignResponse = message(14, "SSH_AGENT_SIGN_RESPONSE", { signature: bytes });
/** `identity` is a private key (wire/private-keys.ts) and a comment. */
export const AddIdentity = message(17, "SSH_AGENTC_ADD_IDENTITY", { identity: rest });
export const RemoveIdentity = message(18, "SSH_AGENTC_REMOVE_IDENTITY", { key: bytes });
export const RemoveAllIdentities = message(19, "SSH_AGENTC_REMOVE_ALL_IDENTITIES", {});
export const Lock = message(22, "SSH_AGENTC_LOCK", { passphrase: bytes });
export const Unlock = message(23, "SSH_AGENTC_UNLOCK", { passphrase: bytes });
/** As `AddIdentity`, then constraints up to the end. */
export const AddIdentityConstrained = message(25, "SSH_AGENTC_ADD_ID_CONSTRAINED", { identity: rest });

/** What follows the name is the extension's own, with no length in front (OpenSSH PROTOCOL.agent). */
export const Extension = message(27, "SSH_AGENTC_EXTENSION", { extension: text, contents: rest });
export const ExtensionResponse = message(29, "SSH_AGENT_EXTENSION_RESPONSE", {
  extension: text,
  contents: rest,
});
/** The contents of `session-bind@openssh.com`: which connection to which host will use the agent (OpenSSH PROTOCOL.agent §1). */
export const SessionBind = structure("session binding", {
  hostKey: bytes,
  sessionId: bytes,
  signature: bytes,
  forwarding: boolean,
});

/** §3.8: the flags of a sign request; without one, an RSA key would sign with SHA-1. */
export const signFlags: ReadonlyMap<string, number> = new Map([
  ["rsa-sha2-256", 2],
  ["rsa-sha2-512", 4],
]);

/** §3.2.7: the only constraint we keep; its value is a uint32 of seconds. */
export const lifetimeConstraint = 1;

/** The id of a message, before it is decoded. */
export function messageId(packet: Uint8Array): number {
  return new Reader(packet).bytes(1)[0] as number;
}
