import { backendContract } from "./backend.contract.ts";
import { MemoryBackend } from "./memory.ts";

backendContract("memory", async (clock, history) => new MemoryBackend(clock, { history }));
