"""asyncssh as a client, by certificate: first at the proxy, from there at the node. Prints what it found as JSON."""
import asyncio, json, os, sys
import asyncssh

key, known_hosts, proxy, node, login, folder = sys.argv[1:]
options = dict(username=login, client_keys=[(key, key + "-cert.pub")], known_hosts=known_hosts, agent_path=None, config=None)


async def main():
    found = {}
    async with asyncssh.connect("127.0.0.1", int(proxy), **options) as jump:
        async with asyncssh.connect("testnode.main", int(node), tunnel=jump, **options) as there:
            ran = await there.run("cat; echo why >&2; exit 7", input="hello")
            found["exec"] = [ran.stdout, ran.stderr.endswith("why\n"), ran.exit_status]
            found["signal"] = list((await there.run("kill -TERM $$")).exit_signal)[:2]
            ran = await there.run("stty size; echo $TERM", term_type="vt100", term_size=(97, 31))
            found["terminal"] = ran.stdout
            big = os.urandom(9 << 20)
            ran = await there.run("cat", input=big, encoding=None)
            found["whole"] = ran.stdout == big
            many = await asyncio.gather(*(there.run(f"echo {i}") for i in range(10)))
            found["many"] = [one.stdout for one in many]
            listener = await there.forward_local_port("127.0.0.1", 0, "127.0.0.1", int(proxy))
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.get_port())
            found["forward"] = (await reader.readline()).decode()
            writer.close()
            with open(folder + "/here", "wb") as file:
                file.write(big)
            async with there.start_sftp_client() as sftp:
                await sftp.put(folder + "/here", folder + "/there")
                await sftp.posix_rename(folder + "/there", folder + "/renamed")
                await sftp.get(folder + "/renamed", folder + "/back")
                found["sftp"] = (await sftp.stat(folder + "/renamed")).size
                found["statvfs"] = (await sftp.statvfs(folder)).blocks > 0
            found["same"] = open(folder + "/back", "rb").read() == big
            await asyncssh.scp(folder + "/here", (there, folder + "/copied"))
            found["scp"] = open(folder + "/copied", "rb").read() == big
    print(json.dumps(found))


asyncio.run(main())
