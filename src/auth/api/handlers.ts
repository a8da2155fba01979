import type { Alive, AuthContract } from "#contract/auth";
import { companionId } from "#contract/names";
import type { Handlers } from "#contract/rpc";
import { sha256 } from "#core/digest";
import { Fault } from "#core/errors";
import { allLabels, type Caller, publicPart, type ResourceKind, type SystemRole, type Verb } from "#model";
import { authorityPin } from "#pki";
import type { RecordingEvent } from "#recording";
import { explain } from "../access/explain.ts";
import { accountEnd } from "../access/person.ts";
import { deleteRole, putRole } from "../access/roles.ts";
import { listLocks, lockUser, unlockSource, unlockUser } from "../accounts/locks.ts";
import { createReset } from "../accounts/resets.ts";
import { record } from "../audit.ts";
import { tlsCerts } from "../authorities/authorities.ts";
import { restoreAuthorities } from "../authorities/restore.ts";
import { rotationWish } from "../authorities/rotations.ts";
import { issueUserCerts } from "../certificates/issue-user.ts";
import { recordExport, signHost, signUser } from "../certificates/sign.ts";
import { createToken, deleteToken, listTokens } from "../members/tokens.ts";
import type { Auth } from "../open.ts";
import { deleteConnector, listConnectors, putConnector } from "../sso/connectors.ts";
import { linkedAuthorities } from "../trust/authorities.ts";
import { learn } from "../trust/learn.ts";
import { makeStatement } from "../trust/statement.ts";

/**
 * The auth API over `auth`. Handlers rely on `admit` having parsed the input and asked who may call; what a role's condition
 * says of the resource itself is asked here, where the resource is known.
 */
export function handlers(auth: Auth): Handlers<AuthContract> {
  const { parts, callers, joins, presence, users, logins, signups, sso, sessions, consoleLogins } = auth;
  const { state, rotations, trustedClusters, remoteClusters } = auth;
  const { store, audit } = parts;
  const hostCa = () => store.authorities.get(`host/${parts.clusterName}`);

  return {
    "cluster.status": async (_input, caller) => {
      const cas = await store.authorities.list();
      return {
        cluster_name: parts.clusterName,
        server_version: parts.config.version,
        cas: cas.map(publicPart),
        ca_pins: tlsCerts(await hostCa()).map(authorityPin),
        ...(parts.config.license !== undefined && { license: parts.config.license }),
        ...(caller.can("rotate", "cert_authority") && { behind: await rotations.behind(cas) }),
      };
    },
    "cluster.config": () => store.config.get("config"),
    "cluster.preference": () => store.preference.get("preference"),
    "cluster.ca": async () => ({ tls_ca_certs: tlsCerts(await hostCa()) }),
    "authorities.list": async ({ type, secrets }, caller) => {
      const all = [...(await store.authorities.list()), ...(await linkedAuthorities(parts))];
      const asked = all.filter((ca) => type === undefined || ca.spec.type === type);
      if (!secrets) return asked.map(publicPart);
      await recordExport(parts, asked, caller);
      return asked;
    },
    "authorities.restore": ({ authorities, force }, caller) =>
      restoreAuthorities(parts, authorities, force, caller),
    "authorities.rotate": (request, caller) => {
      for (const type of request.types) {
        const about = { metadata: { name: parts.clusterName }, spec: { type } };
        require(caller, "rotate", "cert_authority", about);
      }
      return rotations.rotate(rotationWish(request), caller);
    },
    "authorities.rehearse": (request) => rotations.rehearse(rotationWish(request)),
    "mirror.watch": (_input, caller, signal, answers, said) => {
      const { role, hostId } = member(caller);
      const speaker = presence.speaker(hostId);
      const talk = said && { said, alive: (alive: Alive) => presence.alive(speaker, alive) };
      state.watch(role, answers, signal, talk);
    },

    // A proxy says for whom it asks; of anyone else only what we see counts.
    "hosts.join": ({ remote_addr, ...asked }, caller) => {
      const byProxy = caller.kind === "system" && caller.role === "Proxy";
      const seen = caller.kind === "anonymous" ? caller.from : undefined;
      return joins.join({ ...asked, remote_addr: byProxy ? remote_addr : (seen ?? "") });
    },
    "hosts.renew": (input) => joins.renew(input),
    "hosts.companion": ({ process, ...keys }) =>
      joins.companion({ ...keys, host_id: companionId(keys.host_id, process) }),
    "hosts.sign": (request, caller) => signHost(parts, request, caller),
    "nodes.list": async (_input, caller) =>
      only(caller, "list", "node", await store.nodes.list()).filter((node) =>
        callers.sees(caller, allLabels(node)),
      ),
    "nodes.announce": (node) => presence.announceNode(node),
    "nodes.remove": async ({ name }, caller) => {
      const own = caller.kind === "system" && caller.role === "Node" && caller.hostId === name;
      const node = own ? undefined : await store.nodes.get(name);
      if (node) require(caller, "delete", "node", node);
      await store.nodes.delete(name);
      if (node) {
        const { hostname } = node.spec;
        await record(parts, { code: "T4131I", user: caller.name, server_id: name, hostname });
      }
    },
    "proxies.list": async (_input, caller) => only(caller, "list", "proxy", await store.proxies.list()),
    "proxies.announce": (proxy) => presence.announceProxy(proxy),
    "proxies.remove": ({ name }) => store.proxies.delete(name),
    "auth_servers.list": async (_input, caller) =>
      only(caller, "list", "auth_server", await store.authServers.list()),

    "tokens.list": async (_input, caller) => only(caller, "list", "token", await listTokens(parts)),
    "tokens.create": (request, caller) => createToken(parts, request, caller.name),
    "tokens.delete": ({ name }, caller) => deleteToken(parts, name, caller.name),

    "users.list": async (_input, caller) => only(caller, "list", "user", await store.users.list()),
    "users.get": async ({ name }, caller) => {
      const user = await store.users.get(name);
      if (!(caller.kind === "user" && caller.user === name)) require(caller, "read", "user", user);
      return user;
    },
    "users.put": ({ user, force, was }, caller) => users.put(user, force, caller, was),
    "users.delete": ({ name }, caller) => users.delete(name, caller),
    "users.change": (request, caller) => users.change(request, caller),
    "users.lock": (request, caller) => lockUser(parts, request, caller),
    "users.unlock": ({ name }, caller) => unlockUser(parts, name, caller),
    "users.reset": (request, caller) => createReset(parts, logins, request, caller),
    "sources.unlock": ({ source }, caller) => unlockSource(parts, source, caller),
    "locks.list": (_input, caller) => listLocks(parts, caller),
    "users.change_password": ({ new_password, ...credentials }) =>
      users.changePassword(credentials, new_password),
    "users.sign": (request, caller) => signUser(parts, request, caller),
    "signups.create": (request, caller) => {
      require(caller, "create", "user", {
        metadata: { name: request.user },
        spec: { roles: request.roles, traits: request.traits },
      });
      return signups.create(request, caller.name);
    },
    "signups.get": ({ token }) => signups.show(token),
    "signups.challenge": ({ token }) => signups.challenge(token),
    "signups.complete": (request) => signups.complete(request),

    "logins.certs": async ({ pub_key, tls_pub_key, ttl, compatibility, ...credentials }) => {
      const person = await logins.verify(credentials);
      const certs = await issueUserCerts(parts, {
        access: person.access,
        traits: person.user.spec.traits,
        pub_key,
        tls_pub_key,
        ttl,
        compatibility,
        sources: person.sources,
        notAfter: accountEnd(person.user),
      });
      await logins.recordSuccess(person, credentials.client_addr);
      return certs;
    },
    "logins.challenge": ({ purpose, ...credentials }) =>
      logins.challenge({ ...credentials, otp_token: "" }, { purpose }),
    "console_logins.create": (request) => consoleLogins.create(request),
    "console_logins.get": ({ id }) => consoleLogins.get(id),
    "console_logins.challenge": ({ id, password, client_addr }) =>
      consoleLogins.challenge(id, password, client_addr),
    "console_logins.complete": ({ id, webauthn, client_addr }) =>
      consoleLogins.complete(id, webauthn, client_addr),
    "logins.web": async (credentials) => {
      const person = await logins.verify(credentials, { purpose: "web" });
      const session = await sessions.open(person);
      await logins.recordSuccess(person, credentials.client_addr, sha256(session.id));
      return session;
    },
    "sso.start": ({ kind, connector, flow }) => sso.start(kind, connector, flow),
    "sso.finish": (answer) => sso.finish(answer),
    "web_sessions.get": async (credentials) => {
      const { session, user, access } = await sessions.check(credentials);
      return {
        user,
        expires: session.expires,
        bearer_expires: session.bearerExpires,
        logins: [...access.logins],
        cluster_name: parts.clusterName,
      };
    },
    "web_sessions.renew": (credentials) => sessions.renew(credentials),
    "web_sessions.certs": ({ pub_key, tls_pub_key, ...credentials }) =>
      sessions.certs(credentials, { pub_key, tls_pub_key }),
    "web_sessions.delete": (credentials) => sessions.close(credentials),

    "roles.list": async (_input, caller) => only(caller, "list", "role", await store.roles.list()),
    "roles.get": async ({ name }, caller) => {
      const role = await store.roles.get(name);
      require(caller, "read", "role", role);
      return role;
    },
    "roles.put": ({ role, force, was }, caller) => putRole(parts, role, force, caller, was),
    "roles.delete": ({ name }, caller) => deleteRole(parts, name, caller),

    "connectors.list": ({ secrets }, caller) => listConnectors(parts, secrets, caller),
    "connectors.put": ({ connector, force, was }, caller) =>
      putConnector(parts, connector, force, caller, was),
    "connectors.delete": ({ kind, name }, caller) => deleteConnector(parts, kind, name, caller),
    "trusted_clusters.list": (_input, caller) => trustedClusters.list(caller),
    "trusted_clusters.put": ({ cluster, force, was }, caller) =>
      trustedClusters.put(cluster, force, caller, was),
    "trusted_clusters.delete": ({ name }, caller) => trustedClusters.delete(name, caller),
    "remote_clusters.list": (_input, caller) => remoteClusters.list(caller),
    "remote_clusters.tunnel": (tunnel, caller) => remoteClusters.heard(tunnel, member(caller).hostId),
    "links.statement": async () => ({ statement: await makeStatement(parts) }),
    "links.learn": (said) => learn(parts, said),
    "remote_clusters.accept": ({ client_addr, ...asked }) =>
      remoteClusters.accept({ ...asked, clientAddress: client_addr }),
    "remote_clusters.delete": ({ name }, caller) => remoteClusters.delete(name, caller),

    "access.explain": (asked, caller) => explain(parts, asked, caller),

    "audit.emit": async ({ events, again }) => {
      if (again) await audit.emitAgain(events);
      else await Promise.all(events.map((event) => audit.emit(event)));
    },
    "audit.search": (query) => audit.search(query),
    "recordings.offset": async ({ sid, file }) => ({ offset: await audit.recordings.offset(sid, file) }),
    "recordings.upload": (at, body, _caller, signal) => audit.recordings.upload(at, body, signal),
    "recordings.finish": ({ sid, sha256 }, caller) =>
      audit.recordings.finish(sid, sha256, (event) => checkSource(event, sid, caller)),
    "recordings.read": async ({ sid, file, offset, length }, caller) => {
      require(caller, "read", "session", { metadata: { name: sid } });
      return { data: Buffer.from(await audit.recordings.read(sid, file, offset, length)).toString("base64") };
    },
  };
}

/** A member brings only recordings of what happened on itself (REC-04). */
function checkSource(event: RecordingEvent, sid: string, caller: Caller): void {
  if (event.event === "print") return;
  const own = caller.kind === "system" && "server_id" in event && event.server_id === caller.hostId;
  if (!own || !("sid" in event) || event.sid !== sid) {
    throw new Fault("access_denied", `the recording ${sid} holds an event that is not of ${caller.name}`);
  }
}

/** Throws `access_denied` when a condition of the caller's roles does not hold for this resource. */
function require(
  caller: Caller,
  verb: Verb,
  kind: ResourceKind,
  about: Named & Record<string, unknown>,
): void {
  if (!caller.can(verb, kind, about))
    throw new Fault(
      "access_denied",
      `${caller.name} may not ${verb} the ${kind} ${JSON.stringify(about.metadata.name)}`,
    );
}

/** Those that the caller may list or read; members see all that the contract lets them ask for. */
function only<T extends Named>(caller: Caller, verb: Verb, kind: ResourceKind, all: readonly T[]): T[] {
  return all.filter(
    (one) => caller.kind === "system" || caller.can(verb, kind, one) || caller.can("read", kind, one),
  );
}

interface Named {
  readonly metadata: { readonly name: string };
}

/** The contract lets only machines watch. */
function member(caller: Caller): { readonly role: SystemRole; readonly hostId: string } {
  if (caller.kind !== "system") throw new Fault("access_denied", "only members mirror the cluster's state");
  return caller;
}
