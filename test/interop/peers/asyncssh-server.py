"""asyncssh as a server with a certified host key, for users by certificate or plain key. Prints its port; ends with its input."""
import asyncio, sys
import asyncssh

host_key, authorized = sys.argv[1:]


async def handle(process):
    data = await process.stdin.read()
    process.stdout.write(data)
    process.stderr.write(b"why\n")
    process.exit(7)


async def main():
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[(host_key, host_key + "-cert.pub")], authorized_client_keys=authorized,
        process_factory=handle, encoding=None)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
