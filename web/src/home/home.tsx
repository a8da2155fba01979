import { type ReactElement, useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { UserContext, webPaths } from "#contract/web";
import { Fault } from "#core/errors";
import { request } from "../api/request.ts";
import { proxyAddress } from "../config.ts";
import { signOut } from "../session/actions.ts";
import { drop } from "../session/session.ts";
import { Copy } from "../ui/copy.tsx";
import { Notice } from "../ui/notice.tsx";
import { Brand, Title } from "../ui/screen.tsx";
import { loginLine } from "./login-line.ts";
import "./home.css";

type State = { is: "loading" } | { is: "known"; me: UserContext } | { is: "failed"; why: string };

/** Who one is here, and the line that signs in a terminal. */
export function Home(): ReactElement {
  const [, navigate] = useLocation();
  const [state, setState] = useState<State>({ is: "loading" });
  useEffect(() => {
    request(UserContext, "GET", webPaths.context).then(
      (me) => setState({ is: "known", me }),
      (error: unknown) => {
        if (Fault.is(error, "access_denied")) {
          drop();
          navigate("/login", { replace: true });
        } else
          setState({ is: "failed", why: error instanceof Fault ? error.message : "something went wrong" });
      },
    );
  }, [navigate]);

  const leave = (): void => {
    signOut()
      .catch(() => {})
      .finally(() => navigate("/login"));
  };
  return (
    <div className="home">
      <header className="bar">
        <Brand />
        <button type="button" className="plain" onClick={leave}>
          Sign out
        </button>
      </header>
      <main>
        {state.is === "loading" && <p role="status">Loading…</p>}
        {state.is === "failed" && (
          <>
            <Title>Your account could not be loaded</Title>
            <Notice>{state.why}</Notice>
          </>
        )}
        {state.is === "known" && <Account me={state.me} />}
      </main>
    </div>
  );
}

function Account({ me }: { me: UserContext }): ReactElement {
  return (
    <>
      <Title>{`Signed in as ${me.userName}`}</Title>
      <section className="panel" aria-labelledby="account">
        <h2 id="account">Your access</h2>
        <dl>
          <dt>User</dt>
          <dd>{me.userName}</dd>
          <dt>Cluster</dt>
          <dd>{me.clusterName}</dd>
          <dt>Roles</dt>
          <dd>
            <Names of={me.roles} none="none" />
          </dd>
          <dt>Logins</dt>
          <dd>
            <Names of={me.userAcl.sshLogins} none="No login is allowed anywhere" />
          </dd>
        </dl>
        {me.authType === "local" && <Link href="/settings/account">Change password</Link>}
      </section>
      <section className="panel" aria-labelledby="terminal">
        <h2 id="terminal">Connect from your terminal</h2>
        <p>Sign in with tsh once; it fetches a certificate and every SSH command works from then on.</p>
        <Copy label="command" text={loginLine(proxyAddress(), me.userName, me.connector)} />
      </section>
      <footer>Teleport {me.version}</footer>
    </>
  );
}

function Names({ of, none }: { of: readonly string[]; none: string }): ReactElement {
  if (of.length === 0) return <span className="none">{none}</span>;
  return (
    <ul className="names">
      {of.map((name) => (
        <li key={name}>{name}</li>
      ))}
    </ul>
  );
}
