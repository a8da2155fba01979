import { Fault } from "#core/errors";

export const prefix = "Teleport-Proxy";
/** Bytes of the whole line: a certificate of the proxy's may be in it. */
export const maxBrought = 8 * 1024;

/** Whose connection a proxy says that it brings. */
export interface Brought {
  /** `ip:port`. Anyone may write it: for the record, never for access, but for what `vouchedAddress` makes of it. */
  readonly clientAddress: string;
  readonly vouched?: string;
}

/** Reads the JSON between prefix and NUL. Throws `protocol`. */
export function readBrought(json: string): Brought {
  let said: unknown;
  try {
    said = JSON.parse(json);
  } catch (cause) {
    throw new Fault("protocol", "the proxy's word about the client's address is not JSON", { cause });
  }
  const { clientAddr, vouched } = (typeof said === "object" && said !== null ? said : {}) as Record<
    string,
    unknown
  >;
  if (
    typeof clientAddr !== "string" ||
    !/^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]):\d{1,5}$/.test(clientAddr)
  )
    throw new Fault("protocol", "the proxy's word about the client's address is no ip:port");
  return { clientAddress: clientAddr, ...(typeof vouched === "string" && { vouched }) };
}
