export { AskedForwards } from "./asked.ts";
export { type Bind, type Listener, RemoteForwards, type Visitor } from "./listeners.ts";
export { DirectStreamlocal, DirectTcpip, StreamlocalForward, TcpipForward } from "./requests.ts";
export { splice } from "./splice.ts";
