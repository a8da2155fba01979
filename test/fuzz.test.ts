import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import { hold } from "./fuzz/contract.ts";
import { mutate } from "./fuzz/mutate.ts";
import { randomOf } from "./fuzz/random.ts";
import { targets } from "./fuzz/targets.ts";

const folder = join(import.meta.dirname, "fuzz/regressions");
const rounds = 100;

suite("what strangers may send keeps the contract of `npm run fuzz`", () => {
  for (const target of targets) {
    test(`S05: ${target.name}, its seeds and ${rounds} changes of them`, async () => {
      const seeds = await target.seeds();
      const random = randomOf(1);
      for (const seed of seeds) await hold(target, seed);
      for (let i = 0; i < rounds; i++) await hold(target, mutate(random.of(seeds), random.of(seeds), random));
    });
  }

  for (const file of readdirSync(folder).filter((name) => !name.endsWith(".md"))) {
    test(`${file}, which once broke it`, async () => {
      for (const target of targets)
        if (file.startsWith(`${target.name}.`)) await hold(target, readFileSync(join(folder, file)));
    });
  }
});
