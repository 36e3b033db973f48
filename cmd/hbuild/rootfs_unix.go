//go:build unix

package main

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// readKinds lists an open directory, with the kinds of its files as the listing tells
// them. A file that was not opened in an [os.Root] trusts that.
func readKinds(dir *os.File) ([]fs.DirEntry, error) {
	conn, err := dir.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	if err := conn.Control(func(of uintptr) { fd, dupErr = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	plain := os.NewFile(uintptr(fd), dir.Name())
	defer plain.Close()
	return plain.ReadDir(-1)
}
