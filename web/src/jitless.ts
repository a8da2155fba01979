import { z } from "zod";

// Must run before the first schema is made: zod compiles checks with `new Function`, which our policy forbids.
z.config({ jitless: true });
