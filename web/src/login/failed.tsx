import type { ReactElement } from "react";
import { Link, useSearch } from "wouter";
import { Notice } from "../ui/notice.tsx";
import { CardScreen, Title } from "../ui/screen.tsx";

/** Why a login by an identity provider came to nothing (AUTH-66). The words are of the address line: plain text, and not too much of it. */
export function Failed(): ReactElement {
  const details = new URLSearchParams(useSearch()).get("details") ?? "";
  return (
    <CardScreen>
      <Title>Could not sign in</Title>
      {details !== "" && <Notice>{details.slice(0, 500)}</Notice>}
      <Link href="~/web/login" className="primary">
        Back to the login page
      </Link>
    </CardScreen>
  );
}
