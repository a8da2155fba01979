const here = "https://proxy.invalid";

/**
 * Where to go after a login: `path` if it is a path of our own pages, else undefined. Refuses whatever a browser
 * could read as another origin: `//evil`, `\\evil`, `javascript:`, and forms that hide behind control characters.
 */
export function returnPath(path: string): string | undefined {
  // Browsers drop tab and newline from URLs and read a backslash as a slash, so neither may take part.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (!path.startsWith("/") || /[\u0000-\u0020\u007f\\]/.test(path)) return undefined;
  if (!URL.canParse(path, here)) return undefined;
  const url = new URL(path, here);
  if (url.origin !== here || !/^\/web(\/|$)/.test(url.pathname)) return undefined;
  const rest = url.pathname + url.search + url.hash;
  return rest.startsWith("/web/login") ? undefined : rest;
}
