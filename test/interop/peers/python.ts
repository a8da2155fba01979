import { existsSync } from "node:fs";
import { mustRun } from "../../support/run.ts";

/** Debian's own, which has Debian's modules; the first one in PATH may be another. */
export const python = "/usr/bin/python3";

/** For `skip`: why a module cannot be used here, false when it can. */
export const withoutPython = (module: string): string | false =>
  !existsSync(`/usr/lib/python3/dist-packages/${module}`) && `not installed: ${module} for ${python}`;

export const pythonVersion = async (module: string): Promise<string> =>
  (await mustRun(python, ["-W", "ignore", "-c", `import ${module}; print(${module}.__version__)`])).trim();
