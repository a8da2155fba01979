import { type ReactElement, useEffect, useState } from "react";
import { ConsoleDone, ConsoleLogin, webPaths } from "#contract/web";
import { KeyRequest } from "#contract/webauthn";
import { Fault } from "#core/errors";
import { request } from "../api/request.ts";
import { config } from "../config.ts";
import { touchKey } from "../keys/ask.ts";
import { Form, PasswordField, TextField } from "../ui/form.tsx";
import { CardScreen, Title } from "../ui/screen.tsx";

type State =
  | { is: "loading" }
  | { is: "open"; user: string }
  | { is: "over"; why: string }
  | { is: "done"; to: string };

/** The page that `tsh login` opens where a security key is asked for; it ends at a port of this machine (AUTH-38). */
export function TshLogin({ id }: { id: string }): ReactElement {
  const [state, setState] = useState<State>({ is: "loading" });
  useEffect(() => {
    let current = true;
    request(ConsoleLogin, "GET", webPaths.consoleLogin(id)).then(
      ({ user }) => current && setState({ is: "open", user }),
      (error: unknown) => current && setState({ is: "over", why: reason(error) }),
    );
    return () => {
      current = false;
    };
  }, [id]);
  // After the render: what is said stays when nothing answers there any more.
  useEffect(() => {
    if (state.is === "done") location.assign(state.to);
  }, [state]);

  switch (state.is) {
    case "loading":
      return (
        <CardScreen>
          <p role="status">Looking up your login…</p>
        </CardScreen>
      );
    case "over":
      return (
        <CardScreen>
          <Title>This login cannot go on</Title>
          <p role="alert">{state.why}</p>
        </CardScreen>
      );
    case "done":
      return (
        <CardScreen>
          <Title>Going back to your terminal</Title>
          <p role="status">If this page stays, the terminal does not wait any more: run tsh login again.</p>
        </CardScreen>
      );
    case "open":
      return (
        <CardScreen>
          <Title>Log in for your terminal</Title>
          <p className="lead">
            to cluster <b>{"message" in config ? "" : config.cluster_name}</b>. Go on only if you ran{" "}
            <code>tsh</code> yourself, just now.
          </p>
          <Form<"user" | "password">
            names={["user", "password"]}
            check={({ password }) => (password === "" ? { password: "Enter your password" } : {})}
            submit={async ({ password }) => {
              const asked = await request(KeyRequest, "POST", webPaths.consoleChallenge(id), {
                pass: password,
              });
              const webauthn = await touchKey(asked);
              const { redirect_url } = await request(ConsoleDone, "POST", webPaths.consoleLogin(id), {
                webauthn,
              });
              setState({ is: "done", to: redirect_url });
            }}
            retry="password"
            refused="Could not log in"
            button="Log in with security key"
            busy="Touch your security key…"
          >
            <TextField name="user" label="User name" autoComplete="username" initial={state.user} fixed />
            <PasswordField name="password" label="Password" autoComplete="current-password" />
          </Form>
        </CardScreen>
      );
  }
}

const reason = (error: unknown): string => (error instanceof Fault ? error.message : "something went wrong");
