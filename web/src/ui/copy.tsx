import { Fragment, type ReactElement, useRef, useState } from "react";

/** Text to take elsewhere, with a button that does it. `shown` may add spaces for the eye; `text` is what is copied. */
export function Copy({
  label,
  text,
  shown = text,
}: {
  label: string;
  text: string;
  shown?: string;
}): ReactElement {
  const line = useRef<HTMLElement>(null);
  const [said, setSaid] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // Not allowed here: leave it selected, one key from being copied.
      const selection = getSelection();
      if (line.current) selection?.selectAllChildren(line.current);
      setSaid("Selected: press Ctrl+C");
    }
  };
  return (
    <div className="copy">
      <code ref={line}>
        {shown.split(" ").map((word, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: words repeat, and the line never changes its order
          <Fragment key={at}>
            {at > 0 && " "}
            <span>{word}</span>
          </Fragment>
        ))}
      </code>
      <button type="button" className="quiet" aria-label={`Copy ${label}`} onClick={() => void copy()}>
        Copy
      </button>
      <span role="status" className="hint">
        {said}
      </span>
    </div>
  );
}
