import { type ReactElement, useEffect, useState } from "react";
import { useLocation } from "wouter";
import { Invite, webPaths } from "#contract/web";
import { Fault } from "#core/errors";
import { request } from "../api/request.ts";
import { signUp, signUpWithKeys } from "../session/actions.ts";
import { Copy } from "../ui/copy.tsx";
import { Checkbox, CodeField, type Complaints, Form, PasswordField, TextField } from "../ui/form.tsx";
import { Notice } from "../ui/notice.tsx";
import { CardScreen, Title } from "../ui/screen.tsx";
import "./signup.css";

type State =
  | { is: "loading" }
  | { is: "open"; invite: Invite }
  | { is: "expired" }
  | { is: "failed"; why: string };

/** What differs for who is new here and for who was here before. */
const words = {
  signup: {
    lookup: "Looking up your invitation…",
    expired: "Invite code has expired",
    why: "This invitation was used, has run out, or never existed. Ask an administrator for a new one.",
    failed: "Your invitation could not be looked up",
    title: "Create your account",
    refused: "Your account was not created",
    button: "Create account",
  },
  reset: {
    lookup: "Looking up your link…",
    expired: "Reset link has expired",
    why: "This link was used, has run out, or never existed. Ask an administrator for a new one.",
    failed: "Your link could not be looked up",
    title: "Choose a new password",
    refused: "Your password was not changed",
    button: "Save and sign in",
  },
} as const;
type Occasion = keyof typeof words;

/** What an invited person sees: chooses a password, sets up the authenticator app, and is in (WEB-52). */
export function Signup({ token, occasion = "signup" }: { token: string; occasion?: Occasion }): ReactElement {
  const [state, setState] = useState<State>({ is: "loading" });
  useEffect(() => {
    let current = true;
    void load(token).then((next) => {
      if (current) setState(next);
    });
    return () => {
      current = false;
    };
  }, [token]);

  const say = words[occasion];
  switch (state.is) {
    case "loading":
      return (
        <CardScreen>
          <p role="status">{say.lookup}</p>
        </CardScreen>
      );
    case "expired":
      return (
        <CardScreen>
          <Title>{say.expired}</Title>
          <p role="alert">{say.why}</p>
        </CardScreen>
      );
    case "failed":
      return (
        <CardScreen>
          <Title>{say.failed}</Title>
          <Notice>{state.why}</Notice>
          <button type="button" className="primary" onClick={() => location.reload()}>
            Try again
          </button>
        </CardScreen>
      );
    case "open":
      return <Welcome invite={state.invite} onExpired={() => setState({ is: "expired" })} />;
  }
}

// Each look-up makes a new seed for the authenticator app, so a page makes exactly one.
const lookups = new Map<string, Promise<State>>();
function load(token: string): Promise<State> {
  const known = lookups.get(token);
  if (known !== undefined) return known;
  const lookup = request(Invite, "GET", webPaths.invite(token)).then(
    (invite): State => ({ is: "open", invite }),
    (error: unknown): State => {
      if (!(error instanceof Fault)) return { is: "failed", why: "something went wrong" };
      // A refusal for another reason, such as a locked account, says what to do about it.
      const refused = ["not_found", "bad_parameter"].includes(error.kind);
      return refused ? { is: "expired" } : { is: "failed", why: error.message };
    },
  );
  lookups.set(token, lookup);
  return lookup;
}

function Welcome({ invite, onExpired }: { invite: Invite; onExpired: () => void }): ReactElement {
  const [, navigate] = useLocation();
  const { user, otp_secret } = invite;
  const say = words[invite.reset ? "reset" : "signup"];
  const asksCode = invite.second_factor === "otp";
  const asksKey = invite.second_factor === "webauthn";
  const [touch, setTouch] = useState(1);
  const names = (["password", "again", "code", "spare"] as const).filter(
    (name) => (name !== "code" || asksCode) && (name !== "spare" || asksKey),
  );
  return (
    <CardScreen wide={asksCode}>
      <Title>{say.title}</Title>
      <p className="lead">
        {asksCode
          ? "Choose a password and connect an authenticator app. You will need both to sign in."
          : asksKey
            ? "Choose a password, then insert your security key and touch it. You will need both to sign in."
            : "Choose a password to sign in with."}
      </p>
      <Form<Field>
        names={names}
        check={complaints(asksCode)}
        submit={async ({ password, code, spare }) => {
          const account = { invite_token: invite.invite_token, user, pass: password };
          const done = asksKey
            ? signUpWithKeys(account, spare === "on" ? 2 : 1, setTouch)
            : signUp({ ...account, second_factor_token: (code ?? "").replace(/\s/g, "") });
          await done.catch((error: unknown) => {
            // While the page was open, its time was over or someone else used it.
            if (Fault.is(error, "not_found")) onExpired();
            throw error;
          });
          lookups.delete(invite.invite_token);
          navigate("~/web");
        }}
        retry={asksCode ? "code" : "password"}
        refused={say.refused}
        button={asksKey ? `${say.button} with security key` : say.button}
        {...(asksKey && {
          busy: touch === 1 ? "Touch your security key…" : "Now insert and touch the spare key…",
        })}
      >
        <TextField name="user" label="User name" autoComplete="username" initial={user} fixed />
        <PasswordField
          name="password"
          label="Password"
          hint="At least 6 characters; longer is better"
          autoComplete="new-password"
        />
        <PasswordField name="again" label="Password again" autoComplete="new-password" />
        {asksKey && <Checkbox name="spare" label="Enrol a second key too, in case this one gets lost" />}
        {asksCode && (
          <>
            <section className="authenticator" aria-labelledby="authenticator">
              <img
                src={`data:image/png;base64,${invite.qr}`}
                alt="QR code for your authenticator app"
                width="180"
                height="180"
              />
              <div>
                <h2 id="authenticator">Connect an authenticator app</h2>
                <p>Scan the code with the app on your phone, or enter this key by hand:</p>
                {otp_secret !== undefined && (
                  <Copy label="key" text={otp_secret} shown={otp_secret.replace(/.{4}(?=.)/g, "$& ")} />
                )}
              </div>
            </section>
            <CodeField
              name="code"
              label="Two-factor code"
              hint="Six digits that the app shows now"
              autoComplete="one-time-code"
            />
          </>
        )}
      </Form>
    </CardScreen>
  );
}

type Field = "password" | "again" | "code" | "spare";

const complaints =
  (asksCode: boolean) =>
  ({ password, again, code }: Record<Field, string>): Complaints<Field> => ({
    ...([...password].length < 6 && { password: "Use at least 6 characters" }),
    ...(password !== again && { again: "The two passwords are not the same" }),
    ...(asksCode && (code ?? "").trim() === "" && { code: "Enter the code that the app shows" }),
  });
