import { type IncomingHttpHeaders, request as plain } from "node:http";
import { request as secure } from "node:https";

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
  /** The body as JSON; throws when it is none. */
  readonly json: () => unknown;
}

/** One HTTP or HTTPS request of this machine's own services, whose self-signed certificates nobody verifies. */
export function fetchOwn(
  url: string,
  options: { method?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<HttpAnswer> {
  const { method = options.body === undefined ? "GET" : "POST", headers } = options;
  const send = url.startsWith("https:") ? secure : plain;
  return new Promise((resolve, reject) => {
    const asked = send(
      url,
      {
        method,
        agent: false,
        rejectUnauthorized: false,
        timeout: 15_000,
        headers: { ...(options.body !== undefined && { "content-type": "application/json" }), ...headers },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            text,
            headers: response.headers,
            json: () => JSON.parse(text) as unknown,
          }),
        );
        response.on("error", reject);
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`${url} did not answer`)));
    asked.on("error", reject);
    asked.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}
