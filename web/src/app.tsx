import type { ReactElement } from "react";
import { Route, Router, Switch } from "wouter";
import { ChangePassword } from "./account/change-password.tsx";
import { Home } from "./home/home.tsx";
import { Failed } from "./login/failed.tsx";
import { Login } from "./login/login.tsx";
import { Returned } from "./login/returned.tsx";
import { TshLogin } from "./login/tsh-login.tsx";
import { NotFound } from "./notfound/notfound.tsx";
import { SignedIn } from "./session/signed-in.tsx";
import { Signup } from "./signup/signup.tsx";

/** Every screen and its path (WEB-50). What is inside `SignedIn` needs a session. */
export function App(): ReactElement {
  return (
    <Router base="/web">
      <Switch>
        <Route path="/login" component={Login} />
        <Route path="/sso" component={Returned} />
        <Route path="/msg/error/:what" component={Failed} />
        <Route path="/login/tsh/:id">{({ id }) => <TshLogin id={id} />}</Route>
        <Route path="/newuser/:token">{({ token }) => <Signup token={token} />}</Route>
        <Route path="/reset/:token">{({ token }) => <Signup token={token} occasion="reset" />}</Route>
        <Route path="/settings/account">
          <SignedIn>
            <ChangePassword />
          </SignedIn>
        </Route>
        <Route path="/">
          <SignedIn>
            <Home />
          </SignedIn>
        </Route>
        <Route component={NotFound} />
      </Switch>
    </Router>
  );
}
