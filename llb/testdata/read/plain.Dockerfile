FROM debian
RUN echo a
COPY . /x
CMD a b
