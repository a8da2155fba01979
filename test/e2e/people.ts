import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { HttpAnswer } from "../support/https.ts";
import type { Cluster } from "./cluster.ts";

/** Both halves of a web session, as headers. */
export type WebSession = Readonly<Record<"authorization" | "cookie", string>>;

/** Signs in as the login page does; the session, or the refusal. */
export async function webLogin(
  cluster: Cluster,
  user: string,
  pass: string,
  code = "",
): Promise<{ answer: HttpAnswer; session: WebSession }> {
  const page = await cluster.web("/web/login");
  const [csrf = ""] = /grv_csrf=[^;]+/.exec(String(page.headers["set-cookie"])) ?? [];
  const answer = await cluster.web("/webapi/sessions", {
    headers: { cookie: csrf, "x-csrf-token": csrf.replace("grv_csrf=", "") },
    body: { user, pass, second_factor_token: code },
  });
  return { answer, session: sessionOf(answer) };
}

/** The web session that an answer opens; of no use when it is a refusal. */
export function sessionOf(answer: HttpAnswer): WebSession {
  const [cookie = ""] = /session=[^;]+/.exec(String(answer.headers["set-cookie"])) ?? [];
  const { token = "" } = JSON.parse(answer.text) as { token?: string };
  return { authorization: `Bearer ${token}`, cookie };
}

/** What the web API says to the session: 200 while it lives, 403 after. */
export const webStatus = async (cluster: Cluster, session: WebSession): Promise<number> =>
  (await cluster.web("/webapi/user/status", { headers: { ...session } })).status;

/** The token in the address that `tctl users add` or `reset` prints. */
export function tokenIn(said: string): string {
  const token = /\/web\/(?:newuser|reset)\/([0-9a-f]{32})/.exec(said)?.[1];
  assert.ok(token, said);
  return token;
}

/** Takes up an invitation with this password and code. */
export const takeUp = (cluster: Cluster, token: string, pass: string, code = ""): Promise<HttpAnswer> =>
  cluster.web("/v1/webapi/users", {
    body: { invite_token: token, user: "", pass, second_factor_token: code },
  });

/** A login for certificates that comes, by a PROXY line, from elsewhere: the proxy must believe such lines. */
export async function loginFrom(
  cluster: Cluster,
  address: string,
  credentials: { readonly user: string; readonly password: string; readonly pub_key: string },
): Promise<{ status: number; message: string }> {
  const tcp = connectTcp(cluster.ports.web, "127.0.0.1");
  await once(tcp, "connect");
  tcp.write(`PROXY ${address.includes(":") ? "TCP6" : "TCP4"} ${address} ${address} 5000 443\r\n`);
  const socket = connectTls({ socket: tcp, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const body = JSON.stringify({ otp_token: "", ttl: 3600e9, compatibility: "", ...credentials });
  socket.write(
    `POST /webapi/ssh/certs HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  const json = text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1);
  const { message = "" } = JSON.parse(json) as { message?: string };
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), message };
}
