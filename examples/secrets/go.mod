module example.com/agentkeys

go 1.26
