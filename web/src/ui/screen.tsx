import { type ReactElement, type ReactNode, useEffect, useRef } from "react";
import mark from "./mark.svg";

let entered = false;

/** The one heading of a screen; it names the page, and takes the focus when the screen came without a page load. */
export function Title({ children }: { children: string }): ReactElement {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${children} · Teleport`;
    if (entered) heading.current?.focus();
    entered = true;
  }, [children]);
  return (
    <h1 ref={heading} tabIndex={-1}>
      {children}
    </h1>
  );
}

export function Brand(): ReactElement {
  return (
    <span className="brand">
      <img src={mark} alt="" width="28" height="28" />
      Teleport
    </span>
  );
}

/** A screen for one task, before anyone is signed in: the brand and one card. */
export function CardScreen({
  children,
  wide = false,
}: {
  children: ReactNode;
  wide?: boolean;
}): ReactElement {
  return (
    <div className="card-screen">
      <header>
        <Brand />
      </header>
      <main className={wide ? "card wide" : "card"}>{children}</main>
    </div>
  );
}
