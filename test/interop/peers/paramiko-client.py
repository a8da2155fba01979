"""paramiko as a client, by certificate: first at the proxy, from there at the node. Prints what it found as JSON."""
import json, os, sys, time
import paramiko

key_file, host_keys, proxy, node, login, folder = sys.argv[1:]
key = paramiko.Ed25519Key.from_private_key_file(key_file)
key.load_certificate(key_file + "-cert.pub")


def connect(host, port, sock=None):
    client = paramiko.SSHClient()
    # It knows no certified hosts: these are the plain keys.
    client.load_host_keys(host_keys)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(host, int(port), username=login, pkey=key, sock=sock, allow_agent=False, look_for_keys=False)
    return client


found = {}
jump = connect("127.0.0.1", proxy)
channel = jump.get_transport().open_channel("direct-tcpip", ("testnode.main", int(node)), ("", 0))
there = connect("testnode.main", node, channel)


def over(channel):
    """Waits for the other side's close: one that comes while keys are exchanged stops paramiko (2.12) for good."""
    while not channel.closed:
        time.sleep(0.01)


def run(command, data=b""):
    stdin, stdout, stderr = there.exec_command(command)
    stdin.write(data)
    stdin.channel.shutdown_write()
    ran = [stdout.read().decode(), stderr.read().decode().endswith("why\n"), stdout.channel.recv_exit_status()]
    over(stdout.channel)
    return ran


found["exec"] = run("cat; echo why >&2; exit 7", b"hello")
session = there.get_transport().open_session()
session.get_pty("vt100", 97, 31)
session.exec_command("stty size; echo $TERM")
found["terminal"] = session.makefile().read().decode()
over(session)
there.get_transport().renegotiate_keys()
found["after new keys"] = run("echo in; echo why >&2")
big = os.urandom(3 << 20)
with open(folder + "/here", "wb") as file:
    file.write(big)
sftp = there.open_sftp()
sftp.put(folder + "/here", folder + "/there")
sftp.posix_rename(folder + "/there", folder + "/renamed")
sftp.get(folder + "/renamed", folder + "/back")
found["sftp"] = sftp.stat(folder + "/renamed").st_size
found["same"] = open(folder + "/back", "rb").read() == big
found["list"] = sorted(name for name in sftp.listdir(folder) if name in ("here", "back", "renamed"))
there.close()
jump.close()
print(json.dumps(found))
