import type { ReactElement } from "react";
import { type WebConfig, webPaths } from "#contract/web";
import "./providers.css";

type Known = Exclude<WebConfig, { message: string }>;

/** A button for each identity provider that people here log in by (WEB-51, WEB-57); it comes back to `back`. */
export function Providers({ config, back }: { config: Known; back: string }): ReactElement | null {
  const { providers, local_auth, auth } = config;
  if (providers.length === 0)
    return auth.type === "local" ? null : (
      <p className="missing">
        People log in to this cluster by {auth.type === "github" ? "GitHub" : "OpenID Connect"}, but no
        connector to it is there yet. An administrator makes one with <code>tctl create</code>.
      </p>
    );
  return (
    <div className="providers">
      {local_auth && <p className="or">or</p>}
      {providers.map(({ type, name, display }) => (
        <a key={`${type}/${name}`} className="provider" href={hrefOf(type, name, back)}>
          Sign in with {display}
        </a>
      ))}
    </div>
  );
}

const hrefOf = (type: Known["providers"][number]["type"], name: string, back: string): string =>
  `/v1${webPaths.ssoWeb(type)}?${new URLSearchParams({ connector_id: name, redirect_url: back })}`;
