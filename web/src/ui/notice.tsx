import type { ReactElement, ReactNode } from "react";

/** Bad news, read out when it comes. The region stays in the page while empty, or some readers would miss its first words. */
export function Notice({ children }: { children: ReactNode }): ReactElement {
  const has = children !== undefined && children !== false && children !== null;
  return (
    <div role="alert" className={has ? "notice" : undefined}>
      {children}
    </div>
  );
}
