import { type ReactElement, type ReactNode, useEffect, useState } from "react";
import { Redirect, useLocation, useSearch } from "wouter";
import { Fault } from "#core/errors";
import { renew } from "./actions.ts";
import { bearer, drop, onOtherTab, renewIn } from "./session.ts";

/** Shows its children to those who are signed in, and keeps them so; sends all others to the login and back. */
export function SignedIn({ children }: { children: ReactNode }): ReactElement {
  const [path] = useLocation();
  const search = useSearch();
  const [token, setToken] = useState(bearer);

  useEffect(() => onOtherTab(() => setToken(bearer())), []);
  useEffect(() => {
    if (token === undefined) return;
    const timer = setTimeout(() => {
      renew()
        .catch((error: unknown) => {
          // A proxy that is away for a while may be back before the session is over.
          if (Fault.is(error, "access_denied")) drop();
        })
        .finally(() => setToken(bearer()));
    }, renewIn() ?? 0);
    return () => clearTimeout(timer);
  }, [token]);

  if (token !== undefined) return <>{children}</>;
  const here = `/web${path === "/" ? "" : path}${search === "" ? "" : `?${search}`}`;
  const back = here === "/web" ? "" : `?redirect_uri=${encodeURIComponent(here)}`;
  return <Redirect to={`/login${back}`} replace />;
}
