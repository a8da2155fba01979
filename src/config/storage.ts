import { z } from "zod";
import { drivers, type StorageConfig } from "#backend";
import { Fault } from "#core/errors";
import { list, scalar, text } from "./values.ts";

const schemeOf = (uri: string): string => /^([a-z][a-z0-9+.-]*):\/\//i.exec(uri)?.[1]?.toLowerCase() ?? "";

const uriOf = (what: string, schemes: readonly string[], elsewhere: Readonly<Record<string, string>>) =>
  scalar("a URI", (uri) => {
    const scheme = schemeOf(uri);
    if (schemes.includes(scheme)) return uri;
    const why = Object.hasOwn(elsewhere, scheme) ? `; ${elsewhere[scheme]}` : "";
    const known = schemes.map((s) => `${s}://`).join(", ");
    throw new Fault(
      "bad_parameter",
      `${scheme ? `${scheme}://` : "a text without a scheme"} cannot keep ${what}; use ${known}${why}`,
    );
  });

/** Where audit events go, all of them to each (AUD-40, AUD-41). */
export const auditEventsUri = list(
  uriOf("audit events", ["file", "dynamodb", "stdout"], {
    etcd: "etcd keeps the cluster's state only, events go to files or DynamoDB",
    s3: "S3 keeps recordings (audit_sessions_uri)",
  }),
);
/** Where recordings go (REC-05). */
export const auditSessionsUri = uriOf("recordings", ["file", "s3"], {
  dynamodb: "DynamoDB keeps no recordings",
  etcd: "etcd keeps no recordings",
});

/** Keys of the audit log, which stand beside those of any driver. */
export const auditKeys = {
  audit_events_uri: auditEventsUri.optional(),
  audit_sessions_uri: auditSessionsUri.optional(),
  /** Default region of every AWS service. */
  region: text.optional(),
  /** Older name of an `audit_events_uri` of `dynamodb://<table>`. */
  audit_table_name: text.optional(),
};
const audit = z.object(auditKeys);

export interface Storage {
  /** What the driver asks for. */
  readonly backend: StorageConfig;
  readonly region: string | undefined;
  /** Empty when the file says nothing. */
  readonly audit_events_uri: readonly string[];
  readonly audit_sessions_uri: string | undefined;
}

/** `teleport.storage`: the driver's keys, and beside them those of the audit log. */
export const storage = z
  .preprocess((value) => value ?? {}, z.record(z.string(), z.unknown(), { error: "wants keys with values" }))
  .transform((given, context): Storage => {
    const { type = "dir", ...rest } = withoutNulls(given);
    const driver = drivers.find(({ config }) => config.shape.type.safeParse(type).success);
    if (!driver) {
      const known = drivers.flatMap(({ config }) => config.shape.type.options).join(", ");
      context.addIssue({
        code: "custom",
        path: ["type"],
        message: `unsupported secrets storage type: ${JSON.stringify(type)}; known: ${known}`,
      });
      return z.NEVER;
    }
    const own = Object.entries(rest).filter(
      ([key]) => !Object.hasOwn(auditKeys, key) || Object.hasOwn(driver.config.shape, key),
    );
    const backend = driver.config.safeParse({ type, ...Object.fromEntries(own) });
    const shared = audit.safeParse(rest);
    for (const issue of [...(backend.error?.issues ?? []), ...(shared.error?.issues ?? [])])
      context.addIssue(issue as never);
    if (!backend.success || !shared.success) return z.NEVER;
    const { region, audit_events_uri = [], audit_sessions_uri, audit_table_name } = shared.data;
    return {
      backend: backend.data,
      region,
      audit_events_uri:
        audit_events_uri.length === 0 && audit_table_name
          ? [`dynamodb://${audit_table_name}`]
          : audit_events_uri,
      audit_sessions_uri,
    };
  });

const withoutNulls = (map: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(map).filter(([, value]) => value !== null));
