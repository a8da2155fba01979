import type { ReactElement } from "react";
import { useLocation, useSearch } from "wouter";
import { returnPath } from "#contract/return-path";
import { config } from "../config.ts";
import { signIn, signInWithKey } from "../session/actions.ts";
import { CodeField, type Complaints, Form, PasswordField, TextField } from "../ui/form.tsx";
import { Notice } from "../ui/notice.tsx";
import { CardScreen, Title } from "../ui/screen.tsx";
import { Providers } from "./providers.tsx";

/** User, password, and a code when the cluster asks for one (WEB-51); then back to where one came from. */
export function Login(): ReactElement {
  const [, navigate] = useLocation();
  const asked = new URLSearchParams(useSearch()).get("redirect_uri") ?? "";
  const back = returnPath(asked) ?? "/web";

  if ("message" in config) return <Unavailable reason={config.message} />;
  const asksCode = config.auth.second_factor === "otp";
  const asksKey = config.auth.second_factor === "webauthn";
  const names = asksCode ? (["user", "password", "code"] as const) : (["user", "password"] as const);
  return (
    <CardScreen>
      <Title>Sign in</Title>
      <p className="lead">
        to cluster <b>{config.cluster_name}</b>
      </p>
      {config.local_auth && (
        <Form<Field>
          names={names}
          check={missing(asksCode)}
          submit={async ({ user, password, code }) => {
            const named = { user: user.trim(), pass: password };
            if (asksKey) await signInWithKey(named);
            else await signIn({ ...named, second_factor_token: digits(code) });
            navigate(`~${back}`);
          }}
          retry="password"
          refused="Could not sign in"
          button={asksKey ? "Sign in with security key" : "Sign in"}
          {...(asksKey && { busy: "Touch your security key…" })}
        >
          <TextField name="user" label="User name" autoComplete="username" />
          <PasswordField name="password" label="Password" autoComplete="current-password" />
          {asksCode && (
            <CodeField
              name="code"
              label="Two-factor code"
              hint="Six digits from your authenticator app"
              autoComplete="one-time-code"
            />
          )}
        </Form>
      )}
      <Providers config={config} back={back} />
    </CardScreen>
  );
}

type Field = "user" | "password" | "code";

const missing =
  (asksCode: boolean) =>
  ({ user, password, code }: Record<Field, string>): Complaints<Field> => ({
    ...(user.trim() === "" && { user: "Enter your user name" }),
    ...(password === "" && { password: "Enter your password" }),
    ...(asksCode && digits(code) === "" && { code: "Enter the code from your authenticator app" }),
  });

/** Apps show codes as `123 456`. */
const digits = (code = ""): string => code.replace(/\s/g, "");

function Unavailable({ reason }: { reason: string }): ReactElement {
  return (
    <CardScreen>
      <Title>Sign-in is not possible right now</Title>
      <Notice>{reason}</Notice>
      <button type="button" className="primary" onClick={() => location.reload()}>
        Try again
      </button>
    </CardScreen>
  );
}
