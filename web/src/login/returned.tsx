import { type ReactElement, useEffect } from "react";
import { useLocation, useSearch } from "wouter";
import { returnPath } from "#contract/return-path";
import { Fault } from "#core/errors";
import { takeUp } from "../session/actions.ts";
import { CardScreen, Title } from "../ui/screen.tsx";

/** Where an identity provider's answer ends: the session is taken up, and one is back where one wanted to be. */
export function Returned(): ReactElement {
  const [, navigate] = useLocation();
  const asked = new URLSearchParams(useSearch()).get("redirect_uri") ?? "";
  const back = returnPath(asked) ?? "/web";

  useEffect(() => {
    once ??= takeUp();
    once.then(
      () => navigate(`~${back}`, { replace: true }),
      (error: unknown) => {
        const details = error instanceof Fault ? error.message : "something went wrong; try again";
        navigate(`/msg/error/login_failed?${new URLSearchParams({ details })}`, { replace: true });
      },
    );
  }, [back, navigate]);

  return (
    <CardScreen>
      <Title>Signing in</Title>
      <p>One moment…</p>
    </CardScreen>
  );
}

/** There is one session to take up a page load, however often this is rendered. */
let once: Promise<void> | undefined;
