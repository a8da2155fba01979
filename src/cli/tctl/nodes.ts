import { minute } from "#core/clock";
import { flag, type Group } from "../command.ts";
import { formatFlag, print } from "../format.ts";
import { type ConnectAdmin, withAdmin } from "./admin.ts";
import { command } from "./globals.ts";
import { usesFlag } from "./tokens.ts";

export const nodes = (connect: ConnectAdmin): Group => ({
  name: "nodes",
  about: "Invite and list the machines of the cluster",
  commands: [
    command({
      name: "add",
      about: "Make an invite token for a new host",
      flags: {
        roles: flag.list("What the host may become, of node, proxy, auth, trusted_cluster (node)"),
        ttl: flag.duration("How long the token is good (30m)"),
        token: flag.text("The token itself, instead of a random one", { value: "VALUE" }),
        uses: usesFlag,
        format: flag.choice("How to print", ["text", "json", "yaml"], { hidden: true }),
      },
      run: async (given) => {
        const { invite, readRoles } = await import("./invite.ts");
        const { token: value, ttl = 30 * minute, uses, format, roles: names = ["node"] } = given.flags;
        const roles = readRoles(names);
        return withAdmin(connect, given, (auth) =>
          invite(auth, given.io, { roles, value, ttl, uses, format }, given.signal),
        );
      },
    }),
    command({
      name: "ls",
      about: "List the machines, all or by label",
      args: ["[label=value,...]"],
      flags: { format: formatFlag, namespace: flag.text("Accepted, without effect", { hidden: true }) },
      run: async (given) => {
        const [text] = given.args;
        const wanted = text === undefined ? {} : (await import("#client")).parseLabels(text);
        return withAdmin(connect, given, async (auth) => {
          const [{ nodeTable }, { sortNodes, withLabels }] = await Promise.all([
            import("./node-list.ts"),
            import("../nodes.ts"),
          ]);
          const found = sortNodes(withLabels(await auth["nodes.list"]({}, given.signal), wanted));
          await print(given.io, given.flags.format, found, () => nodeTable(found));
        });
      },
    }),
  ],
});
