import { type ReactElement, useState } from "react";
import { Link } from "wouter";
import { config } from "../config.ts";
import { changePassword } from "../session/actions.ts";
import { CodeField, type Complaints, Form, PasswordField } from "../ui/form.tsx";
import { CardScreen, Title } from "../ui/screen.tsx";

/** A new password for who knows the old one and holds the second factor (AUTH-41, WEB-50). */
export function ChangePassword(): ReactElement {
  const [done, setDone] = useState(false);
  const factor = "auth" in config ? config.auth.second_factor : "off";
  const asksCode = factor === "otp";
  const asksKey = factor === "webauthn";
  if (done) {
    return (
      <CardScreen>
        <Title>Your password is changed</Title>
        <p role="status">Other browsers in which you were signed in are signed out.</p>
        <Link href="/">Back to your account</Link>
      </CardScreen>
    );
  }
  const names = asksCode
    ? (["before", "password", "again", "code"] as const)
    : (["before", "password", "again"] as const);
  return (
    <CardScreen>
      <Title>Change password</Title>
      <p className="lead">Other browsers in which you are signed in will be signed out.</p>
      <Form<Field>
        names={names}
        check={complaints(asksCode)}
        submit={async ({ before, password, code }) => {
          await changePassword(before, password, asksKey ? "key" : { code: digits(code) });
          setDone(true);
        }}
        retry="before"
        refused="Your password was not changed"
        button={asksKey ? "Change password with security key" : "Change password"}
        {...(asksKey && { busy: "Touch your security key…" })}
      >
        <PasswordField name="before" label="Current password" autoComplete="current-password" />
        <PasswordField
          name="password"
          label="New password"
          hint="At least 6 characters; longer is better"
          autoComplete="new-password"
        />
        <PasswordField name="again" label="New password again" autoComplete="new-password" />
        {asksCode && (
          <CodeField
            name="code"
            label="Two-factor code"
            hint="Six digits from your authenticator app"
            autoComplete="one-time-code"
          />
        )}
      </Form>
      <Link href="/">Back without a change</Link>
    </CardScreen>
  );
}

type Field = "before" | "password" | "again" | "code";

const complaints =
  (asksCode: boolean) =>
  ({ before, password, again, code }: Record<Field, string>): Complaints<Field> => ({
    ...(before === "" && { before: "Enter your current password" }),
    ...([...password].length < 6 && { password: "Use at least 6 characters" }),
    ...(password !== again && { again: "The two passwords are not the same" }),
    ...(asksCode && digits(code) === "" && { code: "Enter the code from your authenticator app" }),
  });

const digits = (code = ""): string => code.replace(/\s/g, "");
