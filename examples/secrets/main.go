// Command agentkeys lists the kinds of the keys that the SSH agent at
// SSH_AUTH_SOCK holds. The keys themselves never leave the agent.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

// The agent protocol: draft-ietf-sshm-ssh-agent, section 4.
const (
	requestIdentities = 11
	identitiesAnswer  = 12
	maxAnswer         = 256 << 10
)

func main() {
	log.SetFlags(0)
	agent, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	kinds, err := listKeys(agent)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("keys in the agent: %d\n", len(kinds))
	for _, kind := range kinds {
		fmt.Println(kind)
	}
}

// listKeys asks agent for its keys and returns the kind of each, such as
// ssh-ed25519.
func listKeys(agent io.ReadWriter) ([]string, error) {
	if _, err := agent.Write([]byte{0, 0, 0, 1, requestIdentities}); err != nil {
		return nil, err
	}
	var size uint32
	if err := binary.Read(agent, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size < 5 || size > maxAnswer {
		return nil, fmt.Errorf("the agent answers with %d bytes", size)
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(agent, answer); err != nil {
		return nil, err
	}
	if answer[0] != identitiesAnswer {
		return nil, fmt.Errorf("the agent answers with message %d", answer[0])
	}

	var kinds []string
	rest := answer[5:]
	for range binary.BigEndian.Uint32(answer[1:]) {
		var key []byte
		var err error
		if key, rest, err = cutString(rest); err != nil {
			return nil, err
		}
		kind, _, err := cutString(key)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, string(kind))
		if _, rest, err = cutString(rest); err != nil { // the comment
			return nil, err
		}
	}
	return kinds, nil
}

// cutString splits a string with a length before it off the front of b.
func cutString(b []byte) (s, rest []byte, err error) {
	if len(b) < 4 || uint64(len(b)) < 4+uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, errors.New("the agent's answer is cut short")
	}
	end := 4 + binary.BigEndian.Uint32(b)
	return b[4:end], b[end:], nil
}
