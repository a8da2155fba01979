export { type AuthClient, type AuthClientOptions, openAuthClient } from "./client.ts";
