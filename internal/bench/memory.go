package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	// memoryDir is the file system in memory that Linux systems have.
	memoryDir = "/dev/shm"
	// memoryNeeded is what the daemons keep of 1,000 services, and some, in bytes.
	memoryNeeded = 6 << 30
)

// inMemory measures how hbuild's times grow when its daemons keep their state in
// memory. On a disk they also grow by what the disk does: BuildKit writes its databases
// after each step and waits until they are on the disk (bbolt's fdatasync).
func inMemory(ctx context.Context, o options, rep *report) error {
	o.sizes, o.buildx, o.state = []int{goalSize, goalLarge}, "", memoryDir
	if err := roomInMemory(); err != nil {
		progress("memory: left out: %v", err)
		return nil
	}
	rep.memory = newMonorepos()
	return rep.memory.measureAll(ctx, o, rep)
}

// roomInMemory says why daemons cannot have their state in memory.
func roomInMemory() error {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	why := errors.New(memoryDir + " is not in memory")
	for line := range strings.Lines(string(mounts)) {
		// A device, a directory, a file system, options.
		f := strings.Fields(line)
		switch {
		case len(f) < 4 || f[1] != memoryDir:
		case f[2] != "tmpfs":
			why = fmt.Errorf("%s is a %s", memoryDir, f[2])
		case strings.Contains(","+f[3]+",", ",noexec,"): // base images are run from there
			why = errors.New(memoryDir + " is mounted noexec")
		default:
			why = nil
		}
	}
	if why != nil {
		return why
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memoryDir, &fs); err != nil {
		return err
	}
	// A tmpfs may be larger than what is left.
	left := min(uint64(fs.Bavail)*uint64(fs.Bsize), availableMemory())
	if left < memoryNeeded {
		return fmt.Errorf("%d MB are left in memory, not %d", left/1e6, memoryNeeded/1_000_000)
	}
	return nil
}

// availableMemory is what the kernel can give without swapping, in bytes.
func availableMemory() uint64 {
	dt, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(dt), "MemAvailable:")
	n, _ := strconv.ParseUint(strings.Fields(rest + " 0")[0], 10, 64)
	return n * 1024 // it says kB
}
