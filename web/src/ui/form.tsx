import {
  createContext,
  type FormEvent,
  type ReactElement,
  type ReactNode,
  use,
  useEffect,
  useId,
  useRef,
  useState,
} from "react";
import { Fault } from "#core/errors";
import { Notice } from "./notice.tsx";

/** What is wrong with a field, by its name. */
export type Complaints<N extends string> = Partial<Record<N, string>>;

const Wrong = createContext<Readonly<Record<string, string | undefined>>>({});

/**
 * A form that says what is wrong: beside the field when `check` finds it (the first such field gets the focus), in a
 * notice above the button, which on a long page is where one looks, when `submit` throws (then the focus goes to `retry`).
 */
export function Form<N extends string>(props: {
  names: readonly N[];
  check: (values: Record<N, string>) => Complaints<N>;
  submit: (values: Record<N, string>) => Promise<void>;
  /** The field where a refused attempt starts again. */
  retry: N;
  /** Begins the notice of a refusal: "Could not sign in". */
  refused: string;
  button: string;
  /** What the button says meanwhile. */
  busy?: string;
  children: ReactNode;
}): ReactElement {
  const { names, check, submit, retry, refused, button, children } = props;
  const form = useRef<HTMLFormElement>(null);
  const [wrong, setWrong] = useState<Complaints<N>>({});
  const [refusal, setRefusal] = useState<string>();
  const [busy, setBusy] = useState(false);
  const [focus, setFocus] = useState<{ name: N }>();

  // After the render, so that a screen reader meets the field with its complaint already tied to it.
  useEffect(() => {
    const field = focus && form.current?.elements.namedItem(focus.name);
    if (field instanceof HTMLInputElement) {
      field.focus();
      field.select();
    }
  }, [focus]);

  const onSubmit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const data = new FormData(event.currentTarget);
    const values = Object.fromEntries(names.map((name) => [name, String(data.get(name) ?? "")])) as Record<
      N,
      string
    >;
    const complaints = check(values);
    setWrong(complaints);
    setRefusal(undefined);
    const first = names.find((name) => complaints[name] !== undefined);
    if (first !== undefined) {
      setFocus({ name: first });
      return;
    }
    setBusy(true);
    try {
      await submit(values);
    } catch (error) {
      setRefusal(error instanceof Fault ? error.message : "something went wrong; try again");
      setFocus({ name: retry });
    } finally {
      setBusy(false);
    }
  };

  return (
    <form ref={form} noValidate onSubmit={(event) => void onSubmit(event)} aria-busy={busy}>
      <Wrong value={wrong}>{children}</Wrong>
      <Notice>
        {refusal !== undefined && (
          <>
            <strong>{refused}:</strong> {refusal}
          </>
        )}
      </Notice>
      <button type="submit" className="primary" aria-disabled={busy}>
        {busy ? (props.busy ?? "One moment…") : button}
      </button>
    </form>
  );
}

interface FieldProps {
  name: string;
  label: string;
  hint?: string;
  autoComplete: string;
}

export function TextField(props: FieldProps & { initial?: string; fixed?: boolean }): ReactElement {
  const { initial, fixed } = props;
  return (
    <Labelled {...props}>
      {(described) => (
        <input
          {...described}
          type="text"
          defaultValue={initial}
          readOnly={fixed}
          autoCapitalize="none"
          spellCheck={false}
        />
      )}
    </Labelled>
  );
}

/** Six digits from an authenticator app. */
export function CodeField(props: FieldProps): ReactElement {
  return (
    <Labelled {...props}>
      {(described) => <input {...described} type="text" inputMode="numeric" maxLength={7} className="code" />}
    </Labelled>
  );
}

/** Its value is `on` when it is ticked. */
export function Checkbox({ name, label }: Pick<FieldProps, "name" | "label">): ReactElement {
  return (
    <label className="checkbox">
      <input type="checkbox" name={name} />
      {label}
    </label>
  );
}

/** A password, which its owner may look at. */
export function PasswordField(props: FieldProps): ReactElement {
  const [shown, setShown] = useState(false);
  return (
    <Labelled {...props}>
      {(described) => (
        <span className="with-button">
          <input {...described} type={shown ? "text" : "password"} autoCapitalize="none" spellCheck={false} />
          <button
            type="button"
            className="quiet"
            aria-pressed={shown}
            aria-label={`Show ${props.label.toLowerCase()}`}
            onClick={() => setShown(!shown)}
          >
            {shown ? "Hide" : "Show"}
          </button>
        </span>
      )}
    </Labelled>
  );
}

interface Described {
  id: string;
  name: string;
  autoComplete: string;
  required: true;
  "aria-invalid": boolean;
  "aria-describedby": string | undefined;
}

function Labelled(props: FieldProps & { children: (described: Described) => ReactElement }): ReactElement {
  const { name, label, hint, autoComplete, children } = props;
  const id = useId();
  const complaint = use(Wrong)[name];
  const about = [hint !== undefined && `${id}-hint`, complaint !== undefined && `${id}-wrong`].filter(
    Boolean,
  );
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        name,
        autoComplete,
        required: true,
        "aria-invalid": complaint !== undefined,
        "aria-describedby": about.length > 0 ? about.join(" ") : undefined,
      })}
      {hint !== undefined && (
        <span id={`${id}-hint`} className="hint">
          {hint}
        </span>
      )}
      {complaint !== undefined && (
        <span id={`${id}-wrong`} className="wrong">
          {complaint}
        </span>
      )}
    </div>
  );
}
