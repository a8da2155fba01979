import { main } from "../process.ts";
import { program } from "./program.ts";

await main(program);
