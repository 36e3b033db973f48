//go:build unix

package solve

import (
	"os"
	"syscall"
	"time"
)

// lockWait is how long an installation waits for another one in the same
// directory. A process that was stopped while it had the lock must not stop
// others: what it protects from is a mixture of two builds' files, no damage.
const lockWait = 10 * time.Second

// lock keeps other builds from installing into the same directory, so that two at
// once leave the files of one of them. It leaves no file behind. Where a directory
// cannot be locked, as on some network file systems, there is no protection.
func (s *staging) lock() (unlock func()) {
	none := func() {}
	dir, err := os.Open(s.root.Name())
	if err != nil {
		return none // installing says why
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { dir.Close() }
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(deadline) {
			dir.Close()
			return none
		}
	}
}
