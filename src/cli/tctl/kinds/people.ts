import type { Role, User } from "#model";
import { table } from "../../table.ts";
import { type Kind, list, of, sorted } from "./kind.ts";

export const people: readonly Kind[] = [
  of<User>({
    kind: "user",
    aliases: ["users"],
    list: (auth, _, signal) => auth["users.list"]({}, signal).then((all) => sorted(all)),
    remove: (auth, { metadata: { name } }, signal) => auth["users.delete"]({ name }, signal),
    text: (users) =>
      table(
        ["User"],
        users.map(({ metadata }) => [metadata.name]),
      ),
  }),
  of<Role>({
    kind: "role",
    aliases: ["roles"],
    list: (auth, _, signal) => auth["roles.list"]({}, signal).then((all) => sorted(all)),
    remove: (auth, { metadata: { name } }, signal) => auth["roles.delete"]({ name }, signal),
    text: (roles) =>
      table(
        ["Role", "Allowed to login as", "Node Labels", "Access to resources"],
        roles.map(({ metadata, spec: { allow } }) => [
          metadata.name,
          list(allow.logins),
          Object.entries(allow.node_labels ?? { "*": ["*"] })
            .map(([name, values]) => `${name}:${values.join("|")}`)
            .join(","),
          (allow.rules ?? []).map(({ resources, verbs }) => `${list(resources)}:${list(verbs)}`).join(" "),
        ]),
      ),
  }),
];
