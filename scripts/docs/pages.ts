import { apiPage } from "./api.ts";
import { configPage } from "./config.ts";
import { diagnosticsPage } from "./diagnostics.ts";
import { eventsPage } from "./events.ts";
import { interopPage } from "./interop.ts";

/** Path → text of every page that is printed from schemas or results. */
export async function pages(): Promise<Readonly<Record<string, string>>> {
  return {
    "docs/events.md": eventsPage(),
    "docs/config.md": configPage(),
    "docs/diagnostics.md": await diagnosticsPage(),
    "docs/api.md": await apiPage(),
    "docs/interop.md": interopPage(),
  };
}
