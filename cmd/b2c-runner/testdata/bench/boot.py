# Boots the board with the least that pexpect needs, and prints in seconds: the
# board's time, from the machine's start to its end; its own CPU; its peak memory.
import resource, sys, time
import pexpect

started = time.monotonic()
board = pexpect.spawn(sys.argv[1], sys.argv[2:], timeout=300)
board.expect_exact("/ # ")
board.send("poweroff -f\r")
board.expect(pexpect.EOF)
took = time.monotonic() - started
board.close()
use = resource.getrusage(resource.RUSAGE_SELF)
print(took, use.ru_utime + use.ru_stime, use.ru_maxrss)
