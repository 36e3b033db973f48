//go:build unix

package solve

import (
	"io"
	"os"
	"path/filepath"
	"strings"
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
		err := tryLock(dir)
		if err == nil {
			return func() { dir.Close() }
		}
		if err != syscall.EWOULDBLOCK || time.Now().After(deadline) {
			dir.Close()
			return none
		}
	}
}

// claim marks a temporary directory or file as in use, until it is closed or this
// process ends, however that happens. It says false when another build is about to
// remove it, or has done so, because it was not marked yet. Where there are no locks it
// returns nil; then nobody removes anything either.
func claim(name string) (claimed io.Closer, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return nil, !os.IsNotExist(err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, err != syscall.EWOULDBLOCK
	}
	mine, err := f.Stat()
	there, thereErr := os.Lstat(name)
	if err != nil || thereErr != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, false
	}
	return f, true
}

// sweep removes from a directory what builds have received in it that were killed: what
// nobody has claimed. What cannot be removed stays: it stands in nobody's way.
func sweep(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // some are better than none
	for _, name := range names {
		if strings.HasPrefix(name, ownedPrefix) {
			removeUnclaimed(filepath.Join(dir, name))
		}
	}
}

func removeUnclaimed(name string) {
	if fi, err := os.Lstat(name); err != nil || !fi.IsDir() && !fi.Mode().IsRegular() {
		return
	}
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	if tryLock(f) == nil {
		makeRemovable(name)
		os.RemoveAll(name)
	}
}

// tryLock locks a file or directory unless another has it: then it returns
// EWOULDBLOCK.
func tryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err
		}
	}
}
