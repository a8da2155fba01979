import type { ReactElement } from "react";
import { Link } from "wouter";
import { CardScreen, Title } from "../ui/screen.tsx";

export function NotFound(): ReactElement {
  return (
    <CardScreen>
      <Title>Page not found</Title>
      <p>There is nothing at this address.</p>
      <Link href="~/web" className="primary">
        Go to the start page
      </Link>
    </CardScreen>
  );
}
