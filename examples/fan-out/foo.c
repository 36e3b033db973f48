#include <stdio.h>

int main(void) {
    puts("foo: compiled as C");
    return 0;
}
