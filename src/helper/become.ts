/** Switches this process to a login, for good. Throws when anything of what it was before is left. */
export function become({ uid, gid, groups }: { uid: number; gid: number; groups: readonly number[] }): void {
  process.setgroups?.([...groups]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  const dropped = process.getuid?.() === uid && process.geteuid?.() === uid && process.getegid?.() === gid;
  if (!dropped || (uid !== 0 && canReturn())) throw new Error("this process could not become the login");
}

function canReturn(): boolean {
  try {
    process.setuid?.(0);
    return true;
  } catch {
    return false;
  }
}
