# Runs N commands at a board's prompt through a Unix socket as people do with
# pexpect, and prints how many timed out, and how many gave a wrong answer.
import socket, sys, time
import pexpect
from pexpect import fdpexpect

path, count = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.send(b"w")
board = fdpexpect.fdspawn(s, timeout=2)
board.send("\r")
timeouts = wrong = 0
for i in range(count):
    try:
        board.expect_exact("/ # ")
    except pexpect.TIMEOUT:
        timeouts += 1
    board.send("echo out-%d; (exit %d); echo status=$?\r" % (i, i % 256))
    try:
        board.expect(r"\r\nout-(\d+)\r\nstatus=(\d+)\r\n")
        if int(board.match.group(1)) != i or int(board.match.group(2)) != i % 256:
            wrong += 1
    except pexpect.TIMEOUT:
        timeouts += 1
print(timeouts, wrong)
