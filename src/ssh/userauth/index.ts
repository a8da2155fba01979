export { logIn } from "./client.ts";
export { admit } from "./server.ts";
